"use strict";
/* The page for labeling.

A picture's work is {decision, text, draft}: what was decided ("done", "skipped", "excluded" or
nothing), the text that was accepted, and what is typed but not accepted. The browser keeps it under
a key of the set and the picture, so that it survives closing the page. Texts get into the page by
textContent and value alone. */
(() => {
  const SET = JSON.parse(document.getElementById("set").textContent);
  const PICTURES = SET.pictures;
  const KEY = `exprocr-label:${SET.digest}:`;
  const MARKS = { accepted: "✓", changed: "✎", skipped: "↷", excluded: "✕", unreadable: "!",
    typed: "…", undone: "" };
  const element = id => document.getElementById(id);
  const field = element("field");
  const list = element("list");
  const show = element("show");
  const below = element("below");

  const work = PICTURES.map(picture => read(picture.number) ?? {});
  const rows = PICTURES.map(makeRow);
  const history = []; // decisions that can be undone, the last one at the end
  let current = 0;
  let keeps = true;

  /* What the browser keeps */

  function read(number) {
    try {
      const found = JSON.parse(localStorage.getItem(KEY + number));
      return found && typeof found === "object" ? found : null;
    } catch {
      return null;
    }
  }

  function keep(index) {
    const { decision, draft } = work[index];
    const key = KEY + PICTURES[index].number;
    try {
      if (decision || draft !== undefined) localStorage.setItem(key, JSON.stringify(work[index]));
      else localStorage.removeItem(key);
    } catch {
      keeps = false;
      element("warning").hidden = false;
    }
  }

  addEventListener("storage", event => { // the same page in another tab
    if (event.key !== null && !event.key.startsWith(KEY)) return;
    PICTURES.forEach((picture, index) => {
      work[index] = read(picture.number) ?? {};
      drawRow(index);
    });
    drawCounts();
  });

  addEventListener("beforeunload", event => {
    if (!keeps && work.some(one => one.decision)) event.preventDefault();
  });

  /* States and texts */

  const isReadable = index => !PICTURES[index].problem;
  const proposal = index => PICTURES[index].label ?? PICTURES[index].text;
  const isDecided = index => !isReadable(index) || Boolean(work[index].decision);

  function state(index) {
    if (!isReadable(index)) return "unreadable";
    const { decision, text, draft } = work[index];
    if (draft !== undefined) return "typed";
    if (decision === "done") return text === proposal(index) ? "accepted" : "changed";
    return decision || "undone";
  }

  function textNow(index) {
    const { decision, text, draft } = work[index];
    return draft ?? (decision === "done" ? text : proposal(index));
  }

  /* The text for labels.csv; null where the picture is not in it. */
  function labelOf(index) {
    if (!isReadable(index)) return null;
    const { decision, text } = work[index];
    if (decision === "done") return text;
    return decision ? null : PICTURES[index].label ?? null;
  }

  /* What is wrong with a text as a label; empty if nothing is. */
  function fault(text) {
    if (!text) return "Type the text of the picture, or skip or exclude it.";
    if (/[\p{C}\p{Z}]/u.test(text.replaceAll(" ", "")))
      return "A label has no characters but visible ones and blanks.";
    if ([...text].length > SET.maxLength)
      return `A label has at most ${SET.maxLength} characters.`;
    return "";
  }

  function unknown(text) {
    return [...new Set(text)].filter(one => !SET.characters.includes(one)).join(" ");
  }

  /* The list */

  function add(parent, tag, text = "", name = "") {
    const child = document.createElement(tag);
    if (text) child.textContent = text;
    if (name) child.className = name;
    parent.append(child);
    return child;
  }

  function makeRow(picture, index) {
    const row = document.createElement("li");
    const button = add(row, "button");
    button.type = "button";
    button.tabIndex = -1;
    button.title = picture.name;
    const mark = add(button, "span", "", "state");
    mark.setAttribute("aria-hidden", "true");
    if (picture.problem) add(button, "span");
    else {
      const image = add(button, "img");
      image.alt = "";
      image.loading = "lazy";
      image.decoding = "async";
      image.width = picture.width;
      image.height = picture.height;
      image.src = picture.image;
    }
    const text = add(button, "span", "", "text");
    const sure = picture.problem ? "" : picture.confidence.toFixed(4);
    add(button, "small", sure);
    const said = add(button, "span", "", "hidden-text");
    button.addEventListener("click", () => go(index));
    return { row, button, mark, text, said };
  }

  function drawRow(index) {
    const { button, mark, text, said } = rows[index];
    const now = state(index);
    button.dataset.state = now;
    mark.textContent = MARKS[now];
    said.textContent = now;
    text.textContent = isReadable(index) ? textNow(index) : PICTURES[index].name;
    rows[index].row.hidden = !passes(index);
  }

  function passes(index) {
    const picture = PICTURES[index];
    switch (show.value) {
      case "undone": return !isDecided(index);
      case "unsure": return isReadable(index) && picture.confidence < below.valueAsNumber;
      case "differ": return picture.label !== undefined && picture.label !== picture.text;
      case "left": return ["skipped", "excluded", "unreadable"].includes(state(index));
      default: return true;
    }
  }

  function drawCounts() {
    const counts = {};
    let shown = 0;
    let labels = 0;
    PICTURES.forEach((_, index) => {
      const now = state(index);
      counts[now] = (counts[now] ?? 0) + 1;
      shown += passes(index);
      labels += labelOf(index) !== null;
    });
    const readable = PICTURES.length - (counts.unreadable ?? 0);
    const done = PICTURES.filter((_, index) => isReadable(index) && isDecided(index)).length;
    const progress = element("progress");
    progress.max = Math.max(readable, 1);
    progress.value = done;
    element("done").textContent = `${number(done)} of ${number(readable)} done`;
    element("counts").textContent = ["accepted", "changed", "skipped", "excluded", "unreadable"]
      .filter(name => counts[name]).map(name => ` · ${number(counts[name])} ${name}`).join("");
    element("shown").textContent = `${number(shown)} shown`;
    element("save").disabled = !labels;
    element("save").textContent = `Save ${number(labels)} label${labels === 1 ? "" : "s"}`;
    element("undo").disabled = !history.length;
  }

  const number = value => value.toLocaleString("en-US");

  function redrawAll() {
    below.hidden = show.value !== "unsure";
    rows.forEach((_, index) => drawRow(index));
    drawCounts();
  }

  /* The picture in front */

  /* Write a text with places marked: Map of place -> {name, title}. */
  function drawText(target, text, marks) {
    target.replaceChildren();
    [...text].forEach((one, place) => {
      const found = marks.get(place);
      if (!found) target.append(one);
      else add(target, "mark", one, found.name).title = found.title;
    });
    if (!text) add(target, "small", "nothing");
  }

  const marksOf = (places, name, title) => places.map(place => [place, { name, title }]);

  function draw() {
    const picture = PICTURES[current];
    const readable = isReadable(current);
    element("name").textContent = picture.name;
    element("position").textContent = `${number(current + 1)} of ${number(PICTURES.length)}`;
    element("stage").hidden = !readable;
    for (const id of ["field", "accept", "skip", "exclude"]) element(id).disabled = !readable;
    element("label-row").hidden = picture.label === undefined;
    element("others").replaceChildren();
    field.value = readable ? textNow(current) : "";
    if (readable) {
      drawPicture(picture);
      drawText(element("reading"), picture.text, new Map([
        ...marksOf(picture.textDiffers ?? [], "", "the label differs"),
        ...picture.characters.map(([place, title]) => [place, { name: "doubt", title }]),
      ]));
      element("confidence").textContent = `confidence ${picture.confidence.toFixed(4)}`;
      if (picture.label !== undefined) drawText(element("label"), picture.label,
        new Map(marksOf(picture.labelDiffers, "", "the reading differs")));
      for (const text of choices(current)) {
        const button = add(element("others"), "button", text);
        button.type = "button";
        button.addEventListener("click", () => choose(text));
      }
    } else {
      element("reading").textContent = picture.problem;
      element("confidence").textContent = "";
    }
    drawHint();
    mark();
  }

  function drawPicture(picture) {
    const stage = element("stage");
    stage.style.setProperty("--width", picture.width);
    stage.style.setProperty("--height", picture.height);
    const image = element("picture");
    image.alt = `The picture ${picture.name}`;
    image.src = picture.image;
    if (element("contrast").ariaPressed === "true") raiseContrast(image, picture);
    const doubts = element("doubts");
    doubts.replaceChildren();
    for (const [, , left, right] of picture.characters) {
      const bar = add(doubts, "span");
      bar.style.left = `${100 * left}%`;
      bar.style.width = `${100 * (right - left)}%`;
    }
  }

  /* Show the ink as the network sees it: the deviation from the background, compressed by asinh. */
  async function raiseContrast(image, picture) {
    const source = new Image();
    source.src = picture.image;
    await source.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    const context = canvas.getContext("2d");
    context.drawImage(source, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const gray = Float32Array.from({ length: pixels.data.length / 4 }, (_, i) =>
      0.299 * pixels.data[4 * i] + 0.587 * pixels.data[4 * i + 1] + 0.114 * pixels.data[4 * i + 2]);
    const ordered = gray.slice().sort();
    const at = share => ordered[Math.round(share * (ordered.length - 1))];
    const [low, ground, high] = [at(0.005), at(0.5), at(0.995)];
    const sign = high - ground > ground - low ? 1 : -1;
    const most = Math.max(sign > 0 ? high - ground : ground - low, 1);
    gray.forEach((value, i) => {
      const ink = Math.asinh(Math.min(Math.max(sign * (value - ground), 0), most) / 4)
        / Math.asinh(most / 4);
      pixels.data.fill(255 - 255 * ink, 4 * i, 4 * i + 3);
    });
    context.putImageData(pixels, 0, 0);
    if (PICTURES[current] === picture && element("contrast").ariaPressed === "true")
      image.src = canvas.toDataURL();
  }

  /* The texts that may be put into the field: label, reading and the next best, each once. */
  function choices(index) {
    const picture = PICTURES[index];
    const texts = new Set([picture.label, picture.text, ...picture.others]);
    return [...texts].filter(Boolean);
  }

  function choose(text) {
    field.value = text;
    typed();
    field.focus({ preventScroll: true });
  }

  function drawHint(message = "") {
    const others = isReadable(current) ? unknown(field.value.trim()) : "";
    element("hint").textContent = message
      || (others ? `The model does not know: ${others}` : "")
      || { done: "accepted", skipped: "skipped", excluded: "excluded" }[work[current].decision]
      || "";
  }

  /* Mark the current row, and put the cursor where the text is most probably wrong. */
  function mark() {
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    list.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    const { row, button } = rows[current];
    button.setAttribute("aria-current", "true");
    button.tabIndex = 0;
    if (!row.hidden) {
      const [top, end] = [row.offsetTop, row.offsetTop + row.offsetHeight];
      if (top < list.scrollTop) list.scrollTop = top;
      else if (end > list.scrollTop + list.clientHeight) list.scrollTop = end - list.clientHeight;
    }
    if (!isReadable(current)) {
      element("next").focus({ preventScroll: true });
      return;
    }
    field.focus({ preventScroll: true });
    const picture = PICTURES[current];
    const place = picture.labelDiffers?.[0] ?? picture.characters[0]?.[0];
    const text = [...field.value];
    if (place === undefined || field.value !== proposal(current))
      field.setSelectionRange(field.value.length, field.value.length);
    else field.setSelectionRange(text.slice(0, place).join("").length,
      text.slice(0, place + 1).join("").length);
  }

  /* Actions */

  function go(index) {
    current = index;
    draw();
  }

  /* Return the nearest picture that is shown, by steps of 1 or -1; -1 if there is none. */
  function nearest(step, wanted = passes) {
    let index = current + step;
    while (index in PICTURES && !wanted(index)) index += step;
    return index in PICTURES ? index : -1;
  }

  function move(step) {
    const index = nearest(step);
    if (index >= 0) go(index);
    else drawHint(step > 0 ? "This is the last picture." : "This is the first picture.");
  }

  /* Go to the next picture; from the last one to the first that is not done. */
  function advance() {
    let index = nearest(1, index => passes(index) && isReadable(index));
    if (index < 0) index = PICTURES.findIndex((_, i) => passes(i) && !isDecided(i));
    if (index >= 0) go(index);
    else {
      draw();
      drawHint(PICTURES.every((_, i) => isDecided(i))
        ? "All pictures are done: save the labels."
        : "All pictures that are shown are done.");
    }
  }

  function decide(decision, text) {
    if (!isReadable(current)) return;
    history.push([current, work[current]]);
    work[current] = decision === "done" ? { decision, text } : { decision };
    keep(current);
    drawRow(current);
    drawCounts();
    advance();
  }

  function accept() {
    const text = field.value.trim();
    const wrong = fault(text);
    if (wrong) drawHint(wrong);
    else decide("done", text);
  }

  function undo() {
    if (!history.length) return;
    const [index, before] = history.pop();
    work[index] = before;
    keep(index);
    drawRow(index);
    drawCounts();
    go(index);
  }

  function typed() {
    const { draft, ...rest } = work[current];
    work[current] = rest;
    if (field.value !== textNow(current)) work[current] = { ...rest, draft: field.value };
    keep(current);
    drawRow(current);
    drawCounts();
    drawHint();
  }

  function cycle() {
    if (!isReadable(current)) return;
    const texts = choices(current);
    if (texts.length) choose(texts[(texts.indexOf(field.value) + 1) % texts.length]);
  }

  function reset() {
    if (isReadable(current)) choose(proposal(current));
  }

  function toggleContrast() {
    const button = element("contrast");
    button.ariaPressed = String(button.ariaPressed !== "true");
    if (isReadable(current)) drawPicture(PICTURES[current]);
  }

  const cell = text => /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

  function save() {
    const lines = PICTURES.map((picture, index) => [picture, labelOf(index)])
      .filter(([, label]) => label !== null)
      .sort(([a], [b]) => a.number - b.number)
      .map(([picture, label]) => `${cell(picture.cell)},${cell(label)}\n`);
    if (!lines.length) return;
    const content = new Blob(["image,text\n", ...lines], { type: "text/csv" });
    const link = document.createElement("a");
    link.download = "labels.csv";
    link.href = URL.createObjectURL(content);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    const waiting = work.filter(one => one.draft !== undefined).length;
    drawHint(`Saved ${number(lines.length)} label${lines.length === 1 ? "" : "s"}.`
      + (waiting ? ` ${number(waiting)} typed but not accepted: not among them.` : ""));
  }

  const ACTIONS = {
    previous: () => move(-1), next: () => move(1), skip: () => decide("skipped"),
    exclude: () => decide("excluded"), undo, contrast: toggleContrast, save,
  };
  for (const [id, action] of Object.entries(ACTIONS)) element(id).addEventListener("click", action);

  element("form").addEventListener("submit", event => {
    event.preventDefault();
    accept();
  });
  field.addEventListener("input", typed);
  for (const one of [show, below]) one.addEventListener("input", () => {
    redrawAll();
    if (passes(current)) return;
    const index = PICTURES.findIndex((_, i) => passes(i));
    if (index < 0) return;
    current = index;
    draw();
    one.focus();
  });

  const WITH_ALT = {
    s: ACTIONS.skip, x: ACTIONS.exclude, u: undo, c: toggleContrast, r: cycle,
  };

  document.addEventListener("keydown", event => {
    if (event.isComposing) return;
    const key = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    let action;
    if (key === "enter" && event.repeat && event.target === field) action = () => {}; // held down
    else if (control && !event.altKey && key === "s") action = save;
    else if (event.altKey && !control)
      // With Alt, some keyboards write other letters: then the place of the key counts.
      action = WITH_ALT[/^[a-z]$/.test(key) ? key : event.code.replace("Key", "").toLowerCase()];
    else if (!control && event.target !== show && event.target !== below)
      action = { arrowdown: ACTIONS.next, arrowup: ACTIONS.previous, escape: reset }[key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  list.append(...rows.map(({ row }) => row));
  current = Math.max(PICTURES.findIndex((_, index) => !isDecided(index)), 0);
  redrawAll();
  draw();
})();
