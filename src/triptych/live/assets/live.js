"use strict";
// Asks for what is new every other second while somebody looks, and shows it. Every text is somebody else's: only the charts,
// which the server has escaped, are HTML.
(() => {
  const OFTEN = 2000, SOON = 150, TRIES = 3, MOST = 8, BRIEF = 150;
  const page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
  const at = (id) => document.getElementById(id);
  let told = null, version = "", tries = 0, over = false, timer = 0;
  const hash = /^#runs=([\d,]+)$/.exec(location.hash);
  let chosen = hash ? hash[1].split(",").map(Number) : null;
  let order = ["begun", -1];

  // ---- words
  const make = (tag, text = "", kind = "") => {
    const found = document.createElement(tag);
    found.textContent = text;
    if (kind) found.className = kind;
    return found;
  };
  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const count = (n) => n.toLocaleString("en");
  const lasting = (seconds) => {
    const minutes = Math.round(seconds / 60);
    if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
    if (minutes < 100) return `${minutes} min`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const ago = (written) => Math.max(0, Date.now() / 1000 - written);
  const left = (row) => {
    if (row.left === null || row.left === undefined) return "";
    const still = row.left - ago(row.written);
    return still > 0 ? `${lasting(still)} left` : "nearly done";
  };
  const reached = (row) => row.step === null || row.step === undefined ? ""
    : `step ${count(row.step)}${row.total ? ` of ${count(row.total)}` : ""}`;
  const trouble = (row) => [row.status === "failed" || row.status === "damaged" ? row.reason : "", row.lost].filter(Boolean).join("; ");

  // ---- one run
  const showOne = (row) => {
    const box = at("one");
    box.hidden = false;
    const status = box.querySelector(".status");
    status.className = `status ${row.status}`;
    say(status, row.status);
    say(box.querySelector(".words"), [reached(row), left(row), row.status === "running" ? `last line ${lasting(ago(row.written))} ago` : ""].filter(Boolean).join(" · "));
    say(box.querySelector("h2"), row.title || row.name);
    say(box.querySelector(".setting"), row.setting || "");
    const bar = box.querySelector("progress");
    bar.hidden = typeof row.share !== "number";
    if (!bar.hidden) bar.value = row.share;
    say(box.querySelector(".headline"), row.value || "");
    say(box.querySelector(".unit"), row.about || "");
    say(box.querySelector(".why"), trouble(row));
    const link = box.querySelector("a");
    link.href = `report/${row.run}`;
    box.querySelector(".next").hidden = row.status !== "done" || over;
  };

  // ---- many runs
  const COLUMNS = [
    ["name", "run", (r) => r.name], ["status", "state", (r) => r.status], ["share", "how far", (r) => r.share ?? -1],
    ["number", "value", (r) => r.number], ["alarms", "alarms", (r) => (r.alarms || []).length],
  ];
  const values = (row, key) => {
    const column = COLUMNS.find(([name]) => name === key);
    if (column) return column[2](row);
    if (key === "begun") return row.begun;
    const place = told.fields.indexOf(key);
    const said = row.settings[place];
    return said !== "" && Number.isFinite(Number(said)) ? Number(said) : said;
  };
  const compare = (a, b) => {
    const missing = (v) => v === null || v === undefined || v === "";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const plain = (field) => told.words[told.fields.indexOf(field)];

  const head = () => {
    const row = at("several").querySelector("thead tr");
    const wanted = [...COLUMNS.map(([key, title]) => [key, title]), ...told.fields.map((f) => [f, plain(f)])];
    const key = JSON.stringify(wanted);
    if (row.dataset.key !== key) {
      row.dataset.key = key;
      const first = make("th", "curves");
      first.scope = "col";
      // What is wrong with a run stands at the end and needs no heading.
      row.replaceChildren(first, ...wanted.map(([name, title]) => {
        const cell = make("th"), button = make("button", title);
        cell.scope = "col";
        cell.dataset.key = name;
        button.type = "button";
        button.addEventListener("click", () => {
          // What is better is often more: numbers begin with the largest.
          const first = typeof values(told.rows[0], name) === "number" ? -1 : 1;
          order = [name, order[0] === name ? -order[1] : first];
          table();
        });
        cell.append(button);
        return cell;
      }), make("td"));
    }
    for (const cell of row.children) {
      if (cell.dataset.key === order[0]) cell.setAttribute("aria-sort", order[1] > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
  };

  const rows = new Map();
  const newRow = (number) => {
    const row = make("tr"), pick = make("td"), box = make("input"), name = make("th"), far = make("td", "", "far");
    box.type = "checkbox";
    box.addEventListener("change", () => {
      const now = (chosen || told.shown).filter((n) => n !== number);
      choose(box.checked ? [...now, number].slice(-MOST) : now);
    });
    pick.append(box);
    name.scope = "row";
    name.append(make("span", "", "swatch"), make("span"));
    far.append(make("progress"), make("span"));
    far.firstChild.max = 1;
    const status = make("td"), report = make("a", "report");
    report.href = `report/${number}`;
    report.target = "_blank";
    report.rel = "noopener";
    status.append(make("span"), report);
    row.append(pick, name, status, far, make("td", "", "value"), make("td", "", "value"));
    rows.set(number, row);
    return row;
  };
  const fill = (row, data) => {
    const [pick, name, status, far, value, alarms] = row.children;
    const place = told.shown.indexOf(data.run);
    pick.firstChild.checked = place >= 0;
    pick.firstChild.setAttribute("aria-label", `curves of ${data.name}`);
    row.classList.toggle("shown", place >= 0);
    name.firstChild.className = place >= 0 && told.shown.length > 1 ? `swatch key k${place}` : "swatch";
    say(name.lastChild, data.name);
    name.title = [data.name, data.title, data.setting].filter(Boolean).join(" · ");
    status.className = `status ${data.status}`;
    say(status.firstChild, data.status);
    status.lastChild.hidden = data.status !== "done" || over;
    const bar = far.firstChild, words = [reached(data).replace("step ", ""), left(data)].filter(Boolean).join(", ");
    bar.hidden = typeof data.share !== "number" || data.status === "done";
    bar.setAttribute("aria-label", `share of ${data.name}`);
    if (!bar.hidden) bar.value = data.share;
    say(far.lastChild, words);
    if (value.title !== `${data.value} ${data.label}`) {
      value.title = `${data.value} ${data.label}`;
      value.replaceChildren(make("span", data.value || ""), ...(data.label ? [make("span", " "), make("small", data.label)] : []));
    }
    say(alarms, (data.alarms || []).length ? count(data.alarms.length) : "");
    const more = told.fields.map((_, i) => data.settings[i]);
    const why = trouble(data);
    while (row.children.length > 6 + more.length + 1) row.lastChild.remove();
    while (row.children.length < 6 + more.length + 1) row.append(make("td"));
    more.forEach((said, i) => say(row.children[6 + i], said));
    say(row.lastChild, why);
    row.lastChild.className = why ? "why" : "";
    row.lastChild.title = why;
  };
  const matches = (row, words) => {
    const text = [row.name, row.status, row.title, row.setting, ...(row.alarms || []).length ? ["alarm"] : [], ...row.settings, ...told.fields.flatMap((f, i) => [`${f}=${row.settings[i]}`, `${plain(f)}=${row.settings[i]}`])].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const table = () => {
    head();
    const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = told.rows.filter((row) => matches(row, words));
    found.sort((a, b) => {
      const [x, y] = [values(a, order[0]), values(b, order[0])];
      const missing = [x, y].some((v) => v === null || v === undefined || v === "");
      return (missing ? 1 : order[1]) * compare(x, y) || a.run - b.run;
    });
    const body = at("several").querySelector("tbody");
    const there = found.map((data) => {
      const row = rows.get(data.run) || newRow(data.run);
      fill(row, data);
      return row;
    });
    if (there.length !== body.children.length || there.some((row, i) => body.children[i] !== row)) {
      const focused = document.activeElement;
      body.replaceChildren(...there);
      if (focused && body.contains(focused)) focused.focus();
    }
    const beyond = told.beyond ? `, the newest of ${count(told.rows.length + told.beyond)}` : "";
    say(at("count"), words.length ? `${count(found.length)} of ${count(told.rows.length)} runs${beyond}` : `${count(told.rows.length)} runs${beyond}`);
    at("newest").disabled = chosen === null;
    document.dispatchEvent(new CustomEvent("runs", { detail: { told, found, plain } }));
  };
  const choose = (numbers) => {
    chosen = numbers;
    history.replaceState(null, "", numbers ? `#runs=${numbers.join(",")}` : "#");
    clearTimeout(timer);
    ask();
  };

  // ---- curves
  const drawn = new Map();
  const place = (name) => {
    const { holder, html } = drawn.get(name);
    const from = document.createElement("template");
    from.innerHTML = html;
    const figure = from.content.querySelector("figure");
    holder.replaceChildren(figure);
    figure.dispatchEvent(new CustomEvent("newchart", { bubbles: true }));
    drawn.get(name).shown = html;
  };
  const charts = () => {
    const names = told.charts.map(([name]) => name);
    for (const [name, { holder }] of drawn) if (!names.includes(name)) { holder.remove(); drawn.delete(name); }
    told.charts.forEach(([name, html], i) => {
      if (!drawn.has(name)) {
        const holder = make("div");
        const late = () => { const d = drawn.get(name); if (d && d.html !== d.shown) place(name); };
        // What somebody reads just now stays until they look away.
        holder.addEventListener("pointerleave", late);
        holder.addEventListener("focusout", () => setTimeout(late));
        drawn.set(name, { holder, html, shown: "" });
      }
      const entry = drawn.get(name);
      entry.html = html;
      if (at("charts").children[i] !== entry.holder) at("charts").insertBefore(entry.holder, at("charts").children[i] || null);
      const reads = entry.shown && (entry.holder.querySelector(":focus") || entry.holder.querySelector("svg.plot:hover"));
      if (entry.shown !== html && !reads) place(name);
    });
    at("none").hidden = names.length > 0;
    say(at("none"), told.shown.length ? "No curves yet: a curve has two points." : told.rows.length ? "Choose runs in the table to see their curves." : "");
  };

  // ---- the same latents again
  const films = new Map();
  const film = (number) => {
    const figure = make("figure"), title = make("figcaption"), image = make("img"), label = make("label", "", "slider");
    const output = make("output"), slider = make("input");
    slider.type = "range";
    slider.min = 0;
    label.append(output, slider);
    figure.append(title, image, label);
    const found = { figure, title, image, slider, output, steps: [], urls: new Map(), follows: true };
    slider.addEventListener("input", () => { found.follows = slider.valueAsNumber === found.steps.length - 1; turn(found); });
    films.set(number, found);
    return found;
  };
  const turn = (f) => {
    const step = f.steps[f.slider.valueAsNumber], words = `step ${count(step)}`;
    say(f.output, words);
    f.slider.setAttribute("aria-label", `step of ${f.title.textContent}`);
    f.slider.setAttribute("aria-valuetext", words);
    const url = f.urls.get(step);
    if (url && f.image.src !== url) f.image.src = url;
    f.image.alt = `what the same latents had become at ${words}`;
  };
  const load = async (number, f) => {
    // The last one first; then all others, which the page has when the server is gone.
    for (const step of [...f.steps].reverse()) {
      if (f.urls.has(step)) continue;
      f.urls.set(step, "");
      try {
        const answer = await fetch(`moment/${number}/${step}`);
        if (answer.ok) f.urls.set(step, URL.createObjectURL(await answer.blob()));
        else f.urls.delete(step);
      } catch { f.urls.delete(step); return; }
      turn(f);
    }
  };
  const moments = () => {
    const numbers = told.moments.map(([number]) => number);
    for (const [number, f] of films) if (!numbers.includes(number)) {
      f.figure.remove();
      for (const url of f.urls.values()) if (url) URL.revokeObjectURL(url);
      films.delete(number);
    }
    at("moments").hidden = !numbers.length;
    for (const [number, name, steps] of told.moments) {
      const f = films.get(number) || film(number);
      say(f.title, name);
      const before = f.steps[f.slider.valueAsNumber];
      f.steps = steps;
      f.slider.max = steps.length - 1;
      const kept = steps.indexOf(before);
      f.slider.value = f.follows || kept < 0 ? steps.length - 1 : kept;
      if (!f.figure.isConnected) at("moments").querySelector(".pictures").append(f.figure);
      turn(f);
      load(number, f);
    }
  };

  // ---- alarms
  const heard = new Set();
  const alarms = () => {
    const list = at("alarms").firstElementChild;
    for (const row of told.rows) for (const [step, said] of row.alarms || []) {
      const key = `${row.run} ${step} ${said}`;
      if (heard.has(key)) continue;
      heard.add(key);
      const item = make("li");
      const who = make("b", told.rows.length > 1 ? `${row.name}, step ${count(step)}: ` : `Alarm, step ${count(step)}: `);
      if (said.length > BRIEF) {
        const more = make("details"), brief = make("summary");
        brief.append(who, `${said.slice(0, said.lastIndexOf(" ", BRIEF - 30))} …`);
        more.append(brief, make("div", said));
        item.append(more);
      } else item.append(who, said);
      list.prepend(item);
    }
    at("alarms").hidden = !list.children.length;
  };

  // ---- all together
  const summary = () => {
    const states = ["running", "done", "interrupted", "failed", "damaged"].map((state) => [state, told.rows.filter((r) => r.status === state).length]);
    const words = states.filter(([, n]) => n).map(([state, n]) => `${count(n)} ${state}`);
    if (told.unread) words.push(`${count(told.unread)} still to be read`);
    say(at("said"), told.rows.length > 1 ? words.join(", ") : told.rows.length || told.unread ? "" : "No run here yet; it is shown as soon as one begins.");
    const only = told.rows.length === 1 ? told.rows[0] : null;
    const alarmed = told.rows.some((r) => (r.alarms || []).length) ? "(!) " : "";
    const share = only && only.status === "running" && typeof only.share === "number" ? `${Math.floor(100 * only.share)} % ` : only ? `${only.status} ` : "";
    document.title = `${alarmed}${share}${only ? only.name : told.title} · Triptych`;
  };
  const tick = () => {
    if (!told || document.hidden || over) return;
    if (told.rows.length === 1) showOne(told.rows[0]);
    else for (const data of told.rows) if (data.status === "running" && rows.has(data.run)) fill(rows.get(data.run), data);
  };
  const show = (answer) => {
    told = answer;
    version = answer.version;
    say(at("title"), answer.title);
    const several = answer.rows.length > 1;
    at("one").hidden = true;
    at("several").hidden = !several;
    if (answer.ended) ended("What this page followed has ended. It stays as it is until you close it.");
    summary();
    if (several) table();
    else if (answer.rows.length) showOne(answer.rows[0]);
    alarms();
    moments();
    charts();
  };
  const ended = (words) => {
    over = true;
    clearTimeout(timer);
    at("over").replaceChildren(make("p", words, "notice"));
    for (const box of document.querySelectorAll(".rows input, #newest")) box.disabled = true;
    // Nobody is there any more who could write it.
    for (const link of document.querySelectorAll('a[href^="report/"]')) link.hidden = true;
  };

  const ask = async () => {
    if (over) return;
    const query = new URLSearchParams({ since: version, page });
    if (chosen) query.set("runs", chosen.join(","));
    try {
      const answer = await fetch(`state?${query}`);
      if (answer.status === 200) show(await answer.json());
      else if (answer.status !== 204) throw new Error(answer.statusText);
      tries = 0;
    } catch (error) {
      tries += 1;
      if (error instanceof TypeError ? tries >= TRIES : tries >= 3 * TRIES) {
        ended(`Nobody watches any more: this is how it stood at ${new Date().toLocaleTimeString()}.`);
      }
    }
    clearTimeout(timer);
    // Nobody looks at a page in the background; it is told of the end all the same.
    if (!over && !document.hidden) timer = setTimeout(ask, told && told.unread ? SOON : OFTEN);
  };
  const wait = async () => {
    try {
      const answer = await fetch(`end?page=${page}`);
      if (answer.status === 200) await ask();
      else if (answer.status === 204) setTimeout(wait);
    } catch { /* The next question finds out why. */ }
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) { clearTimeout(timer); ask(); } });
  at("filter").addEventListener("input", () => { if (told) table(); });
  at("newest").addEventListener("click", () => choose(null));
  setInterval(tick, 1000);
  ask();
  wait();
})();
