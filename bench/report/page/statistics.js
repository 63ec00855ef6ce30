// The rules of leaderboard/statistics.py and leaderboard/ranking.py, for the threats that are ticked.
const Z = 1.959963984540054;

const unpack = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let set = 0;
  for (; byte; byte &= byte - 1) set++;
  return set;
});
const count = flags => flags.reduce((sum, byte) => sum + BITS[byte], 0);
const conjunction = many => many.reduce((a, b) => a.map((byte, k) => byte & b[k]));

function wilson(successes, n) {
  const share = successes / n;
  const centre = share + Z * Z / (2 * n);
  const spread = Z * Math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2);
  const scale = 1 + Z * Z / n;
  return [Math.max(0, (centre - spread) / scale), Math.min(1, (centre + spread) / scale)];
}

function signTest(fewer, n) {
  if (2 * fewer >= n) return 1;
  let log = -n * Math.LN2;
  for (let k = 1; k <= fewer; k++) log += Math.log((n - k + 1) / k);
  let tail = 1, ratio = 1;
  for (let k = fewer; k > 0; k--) tail += ratio *= k / (n - k + 1);
  return Math.min(1, 2 * tail * Math.exp(log));
}

function separated(a, b) {
  return a.every(one => b.every(other => {
    const onlyA = count(one.map((byte, k) => byte & ~other[k]));
    const onlyB = count(other.map((byte, k) => byte & ~one[k]));
    return signTest(Math.min(onlyA, onlyB), onlyA + onlyB) < 0.05;
  }));
}

// Rows {name, id, flagged, masks, accuracy}: sorts them, and gives each its rank.
function rank(rows) {
  rows.sort((a, b) => a.flagged - b.flagged || b.accuracy - a.accuracy
    || (a.name < b.name ? -1 : a.name > b.name) || (a.id < b.id ? -1 : 1));
  let leader = null;
  rows.forEach((row, place) => {
    row.place = place;
    row.rank = null;
    if (row.flagged) return;
    if (!leader || separated(leader.masks, row.masks)) {
      leader = row;
      row.rank = place + 1;
    } else row.rank = leader.rank;
  });
}
