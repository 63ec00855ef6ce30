const data = JSON.parse(document.getElementById("data").textContent);
const controls = document.getElementById("controls");
const dialog = document.getElementById("card");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const ticked = name => all(`input[name=${name}]`).filter(box => box.checked).map(box => box.value);
// toFixed rounds ties up, the static page to an even digit: of 31.25 and 31.75 only the first differs.
const percent = share => (100 * share - (100 * share % 1 === 0.25 ? 0.01 : 0)).toFixed(1);

const boards = all(".board").map((section, k) => {
  const rows = data[k].rows.map((row, place) => {
    const element = section.querySelector(`tr[data-id="${row.id.slice(0, 16)}"]`);
    const runs = row.runs.map(run => Object.fromEntries(
      Object.entries(run).map(([name, flags]) => [name, unpack(flags)])));
    return { ...row, element, runs, printed: { place, ranks: element.cells[0].textContent } };
  });
  return { ...data[k], section, rows, sort: "rank", descending: false };
});

function show(cell, share, [low, high]) {
  const outwards = [Math.floor(1000 * low + 1e-3) / 10, Math.ceil(1000 * high - 1e-3) / 10];
  cell.querySelector(".value").textContent = percent(share);
  cell.querySelector(".interval").textContent = outwards.map(end => end.toFixed(1)).join("–");
  const bar = cell.querySelector(".bar").style;
  Object.entries({ v: share, lo: low, hi: high }).forEach(([k, x]) => bar.setProperty(`--${k}`, 100 * x));
}

// Accuracy of a row under some threats and suites, shown in a cell.
function measure(board, row, threats, suites, cell) {
  const masks = row.runs.map(run => conjunction(
    [run.clean, ...threats.flatMap(threat => suites.map(suite => run[`${threat}/${suite}`]))]));
  const found = moments(masks, row.seeds, board.examples);
  show(cell, found.mean, interval(found, board.examples));
  return found;
}

function rerank(board) {
  const chosen = ticked("suite");
  const suites = chosen.length || controls.suite ? board.suites.filter(s => chosen.includes(s)) : board.suites;
  const threats = board.threats.filter(threat => ticked("threat").includes(threat));
  for (const row of board.rows) {
    for (const cell of all("td[data-threat]", row.element)) {
      row[cell.dataset.threat] = measure(board, row, [cell.dataset.threat], suites, cell).mean;
      cell.classList.toggle("off", !threats.includes(cell.dataset.threat));
    }
    row.clean = row.runs.map(run => count(run.clean)).reduce((a, b) => a + b) / row.runs.length;
    row.cost = Number(row.element.dataset.cost) || Infinity;
    row.moments = measure(board, row, threats, suites, row.element.querySelector(".union"));
    row.union = row.moments.mean;
  }
  // A large board takes seconds to rank, and the page was printed with everything ticked.
  if (threats.length === board.threats.length && suites.length === board.suites.length)
    for (const row of board.rows) Object.assign(row, row.printed);
  else {
    rank(board.rows, board.examples);
    for (const row of board.rows)
      row.ranks = row.low === null ? "–" : row.low === row.high ? row.low : `${row.low}–${row.high}`;
  }
  for (const { element, ranks } of board.rows) element.cells[0].textContent = ranks;
  for (const head of all("thead th", board.section)) {
    const threat = head.firstElementChild.dataset.sort;
    head.classList.toggle("off", board.threats.includes(threat) && !threats.includes(threat));
  }
  const only = threats.length === 1 ? threats[0] : null;
  board.published = all("tr.published", board.section).map(element => ({
    element, name: element.dataset.name, clean: element.dataset.clean * board.examples, cost: Infinity,
    union: Number(element.dataset.robust), [element.dataset.threat]: Number(element.dataset.robust),
    excluded: element.dataset.threat !== only,
  }));
}

function order(board) {
  const key = board.sort, sign = board.descending ? -1 : 1;
  const value = row => key === "rank" ? -row.union : row[key] ?? Infinity;
  const rows = [...board.rows.filter(row => !row.flagged), ...board.published];
  const compare = (a, b) => sign * ((value(a) > value(b)) - (value(a) < value(b))
    || (a.place ?? 1e9) - (b.place ?? 1e9));
  const folder = board.section.querySelector(".fold");
  folder.parentElement.append(...rows.sort(compare).map(row => row.element), folder);
  const flagged = board.rows.filter(row => row.flagged).sort(compare);
  board.section.querySelector("tbody.flagged")?.append(...flagged.map(row => row.element));
  for (const head of all("thead th", board.section)) {
    const own = head.firstElementChild.dataset.sort === key;
    if (own) head.setAttribute("aria-sort", board.descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

// Whether a board was measured under anything that is ticked; when nothing is, all boards are shown.
function has(board, kind) {
  const chosen = ticked(kind);
  return !chosen.length || chosen.some(name => board[`${kind}s`].includes(name));
}

// Ranked rows of 0.0 % are folded, unless no other row is shown.
function fold(board) {
  const shown = [...board.rows, ...board.published].filter(row => !row.element.hidden);
  const broken = shown.filter(row => board.rows.includes(row) && !row.flagged && percent(row.union) === "0.0");
  const folds = broken.length > 1 && broken.length < shown.length;
  for (const row of board.rows)
    row.element.classList.toggle("folded", folds && !board.unfolded && broken.includes(row));
  const folder = board.section.querySelector(".fold"), button = folder.querySelector("button");
  folder.hidden = !folds;
  button.textContent = `${broken.length} rows with 0.0 %`;
  button.setAttribute("aria-expanded", Boolean(board.unfolded));
}

function filter() {
  const wanted = Object.fromEntries(new FormData(controls));
  const search = wanted.search.trim().toLowerCase();
  let shown = 0, total = 0;
  for (const board of boards) {
    const otherData = Boolean(wanted.dataset) && board.section.dataset.dataset !== wanted.dataset;
    board.section.hidden = otherData || !has(board, "threat") || !has(board, "suite");
    for (const row of [...board.rows, ...board.published]) {
      const own = row.element.dataset;
      row.element.hidden = row.excluded
        || ["arch", "trained", "extra"].some(name => wanted[name] && own[name] !== wanted[name])
        || (wanted.cost && !(own.cost && Number(own.cost) <= Number(wanted.cost)))
        || !(own.words ?? own.name).toLowerCase().includes(search);
      if (row.excluded || board.section.hidden) continue;
      total++;
      shown += !row.element.hidden;
    }
    fold(board);
    const divider = board.section.querySelector(".divider");
    if (divider) divider.hidden = board.rows.every(row => !row.flagged || row.element.hidden);
  }
  const threats = all("[name=threat]:checked").map(box => box.parentElement.textContent.trim());
  document.getElementById("status").textContent =
    `${shown} of ${total} rows, ranked by ${threats.length ? "accuracy under " + threats.join(", ") : "clean accuracy"}`;
}

function update() {
  for (const board of boards) {
    rerank(board);
    order(board);
  }
  filter();
}

function open(id) {
  const template = document.querySelector(`template[data-card="${id}"]`);
  if (!template) return;
  const body = dialog.querySelector(".body");
  body.replaceChildren(template.content.cloneNode(true));
  const chart = template.closest(".board").querySelector(".cost-chart svg");
  if (chart?.querySelector(`[data-card="${id}"]`)) {
    const slot = body.querySelector(".cost-slot");
    slot.append(chart.cloneNode(true));
    slot.hidden = false;
    for (const dot of all(`[data-card="${id}"]`, slot)) dot.classList.add("here");
  }
  const copy = body.querySelector(".copy");
  copy.hidden = !navigator.clipboard;
  copy.onclick = async () => {
    await navigator.clipboard.writeText(body.querySelector("pre").textContent);
    copy.textContent = "Copied";
  };
  history.replaceState(null, "", `#${id}`);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

document.addEventListener("click", event => {
  const sort = event.target.closest("[data-sort]")?.dataset.sort;
  const board = boards.find(board => board.section.contains(event.target));
  if (sort) {
    const numeric = !["rank", "name", "cost"].includes(sort);
    board.descending = board.sort === sort ? !board.descending : numeric;
    board.sort = sort;
    order(board);
  } else if (event.target.closest(".fold")) {
    board.unfolded = !board.unfolded;
    fold(board);
  } else if (event.target === dialog || event.target.closest(".close")) dialog.close();
  else if (!event.target.closest("a")) {
    const named = event.target.closest("[data-open], [data-card], tr[data-id]")?.dataset;
    if (named) open(named.open ?? named.card ?? named.id);
  }
});
dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
controls.search.addEventListener("input", filter);
controls.addEventListener("change", update);
controls.addEventListener("reset", () => setTimeout(update));
controls.addEventListener("submit", event => event.preventDefault());
update();
if (location.hash) open(location.hash.slice(1));
