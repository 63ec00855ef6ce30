// The rules of leaderboard/{statistics,student,seeds,separation}.py, for the threats that are ticked.
const Z = 1.959963984540054, LEVEL = 0.05, MOST_FREEDOM = 100, PAIRED = 3, SHARES = 32, ROUNDING = 1e-3, POINTS = 256;

const unpack = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let set = 0;
  for (; byte; byte &= byte - 1) set++;
  return set;
});
const count = flags => flags.reduce((sum, byte) => sum + BITS[byte], 0);
const conjunction = many => many.reduce((a, b) => a.map((byte, k) => byte & b[k]));

const both = (a, b) => {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += BITS[a[k] & b[k]];
  return sum;
};
const total = values => values.reduce((sum, value) => sum + value, 0);

function wilson(successes, n, z = Z) {
  const share = successes / n;
  const centre = share + z * z / (2 * n);
  const spread = z * Math.sqrt(Math.max(0, share * (1 - share) / n) + (z / (2 * n)) ** 2);
  const scale = 1 + z * z / n;
  return [Math.max(0, (centre - spread) / scale), Math.min(1, (centre + spread) / scale)];
}

const logs = [0];
function logFactorial(n) {
  while (logs.length <= n) logs.push(logs.at(-1) + Math.log(logs.length));
  return logs[n];
}

function signTest(fewer, n) {
  if (2 * fewer >= n) return 1;
  const log = logFactorial(n) - logFactorial(fewer) - logFactorial(n - fewer) - n * Math.LN2;
  let tail = 1, ratio = 1;
  for (let k = fewer; k > 0 && ratio > 1e-17; k--) tail += ratio *= k / (n - k + 1);
  return Math.min(1, 2 * tail * Math.exp(log));
}

function erfc(x) {
  if (x > 2) {
    let fraction = x;
    for (let k = 60; k > 0; k--) fraction = x + k / 2 / fraction;
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
  }
  let term = x, sum = x;
  for (let k = 1; term > 1e-17 * sum; k++) sum += term *= 2 * x * x / (2 * k + 1);
  return 1 - 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

const logGammaHalf = dof => dof === 1 ? Math.log(Math.PI) / 2 : dof === 2 ? 0 : logGammaHalf(dof - 2) + Math.log(dof / 2 - 1);

// Probabilities of values of chi-square, and the variances of Student's t for them.
const grids = new Map();
function grid(dof) {
  if (grids.has(dof)) return grids.get(dof);
  const low = Math.log(dof) - 80 / dof - 12 / Math.sqrt(dof);
  const width = (Math.log(dof + 20 * Math.sqrt(dof) + 60) - low) / POINTS;
  const norm = logGammaHalf(dof) + dof / 2 * Math.LN2;
  const points = Array.from({ length: POINTS + 1 }, (_, k) => low + k * width).map(x =>
    [width * Math.exp(dof / 2 * x - Math.exp(x) / 2 - norm), dof / Math.exp(x)]);
  grids.set(dof, points);
  return points;
}

// The tail of a normal number plus Student's t, which has a share of the variance.
function twoSided(t, dof, share = 1) {
  if (!(t > 0)) return 1;
  if (t === Infinity) return 0;
  return total(grid(dof).map(([weight, v]) => weight * erfc(t / Math.sqrt(2 * (1 - share + share * v)))));
}

// The t of Student whose two-sided probability is LEVEL.
const quantiles = new Map();
function quantile(dof) {
  if (quantiles.has(dof)) return quantiles.get(dof);
  let t = Z, step = 1;
  while (Math.abs(step) > 1e-10) {
    const tail = twoSided(t, dof);
    const density = total(grid(dof).map(([weight, v]) => weight * Math.sqrt(2 / Math.PI / v) * Math.exp(-t * t / 2 / v)));
    step = Math.log(tail / LEVEL) * tail / (t * density);
    t *= Math.exp(step);
  }
  quantiles.set(dof, t);
  return t;
}

const freedom = dof => Math.max(1, Math.min(MOST_FREEDOM, Math.floor(dof) || 1));

// What tests and intervals need of a row's runs: their flags under what is ticked, and their seeds.
function moments(masks, seeds, n) {
  const shares = masks.map(mask => count(mask) / n), size = masks.length;
  const mean = total(shares) / size;
  let pairs = 0;
  for (let k = 0; k < size; k++) for (let l = 0; l < k; l++) pairs += both(masks[k], masks[l]);
  const offsets = shares.map(share => share - mean);
  const spread = size > 1 ? total(offsets.map(o => o * o)) / (size * (size - 1)) : 0;
  const own = new Set(seeds).size === size && size >= PAIRED ? seeds.join() : null;
  return { masks, size, mean, offsets, spread, own, squares: (n * total(shares) + 2 * pairs) / size ** 2 };
}

function interval({ masks, size, mean, squares, spread }, n) {
  if (size === 1 || mean === 0 || mean === 1) return wilson(n * mean, n);
  const images = Math.max(0, squares - n * mean ** 2) / (n * Math.max(n - 1, 1));
  const variance = images + spread;
  if (!variance) return wilson(n * size * mean, n * size);
  const dof = variance ** 2 / (images ** 2 / Math.max(n - 1, 1) + spread ** 2 / (size - 1));
  const effective = Math.min(n * size, mean * (1 - mean) / variance);
  return wilson(effective * mean, effective, quantile(freedom(dof)));
}

function pValue(a, b, n) {
  if (a.size === 1 && b.size === 1) {
    const shared = both(a.masks[0], b.masks[0]);
    const onlyA = Math.round(n * a.mean) - shared, onlyB = Math.round(n * b.mean) - shared;
    return signTest(Math.min(onlyA, onlyB), onlyA + onlyB);
  }
  const gap = a.mean - b.mean;
  if (Math.abs(gap) < 1e-12) return 1;
  const cross = total(a.masks.flatMap(one => b.masks.map(other => both(one, other))));
  const squares = a.squares + b.squares - 2 * cross / (a.size * b.size);
  const images = Math.max(0, squares - n * gap ** 2) / (n * Math.max(n - 1, 1));
  let seeds = a.spread + b.spread, dof = Math.min(a.size, b.size) - 1;
  if (a.size === 1 || b.size === 1) {
    dof = Math.max(a.size, b.size) - 1;
    seeds *= dof + 2;
  } else if (a.own !== null && a.own === b.own) {
    seeds = total(a.offsets.map((o, k) => (o - b.offsets[k]) ** 2)) / (a.size * (a.size - 1));
  }
  const t = Math.abs(gap) / Math.sqrt(images + seeds);
  // The tail is never smaller than the normal one, and Holm's method rejects nothing at LEVEL.
  if (t < Z) return 1;
  return twoSided(t, freedom(dof), Math.ceil(SHARES * seeds / (images + seeds) - ROUNDING) / SHARES);
}

// Rows {name, id, flagged, moments}: sorts them, and gives each the ranks that it may have.
function rank(rows, n) {
  rows.sort((a, b) => a.flagged - b.flagged || b.moments.mean - a.moments.mean
    || (a.name < b.name ? -1 : a.name > b.name) || (a.id < b.id ? -1 : 1));
  const listed = rows.filter(row => !row.flagged), values = [];
  rows.forEach((row, place) => Object.assign(row, { place, low: null, high: null }));
  for (const row of listed) Object.assign(row, { low: 1, high: listed.length });
  for (let k = 1; k < listed.length; k++)
    for (let l = 0; l < k; l++) values.push(pValue(listed[l].moments, listed[k].moments, n));
  // Holm's method rejects what lies below the first sorted value that fails; equal ones fail together.
  const least = Float64Array.from(values).sort().find((p, k) => p * (values.length - k) >= LEVEL) ?? Infinity;
  for (let k = 1, pair = 0; k < listed.length; k++)
    for (let l = 0; l < k; l++)
      if (values[pair++] < least) {
        listed[l].high--;
        listed[k].low++;
      }
}
