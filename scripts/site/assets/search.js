// The search: an index that is loaded when somebody first uses it, and a list of results that the arrow keys
// go through (https://www.w3.org/WAI/ARIA/apg/patterns/combobox/).
"use strict";
(() => {
  const MOST_RESULTS = 12;
  const MOST_OF_A_PAGE = 3;
  const box = document.querySelector(".search");
  const input = document.getElementById("search");
  const list = document.getElementById("results");
  const found = document.getElementById("found");
  /** As in scripts/site/search_index.ts. */
  const FIELDS = ["heading", "page", "text"];
  const OPTIONS = {
    boost: { heading: 5, page: 2 },
    prefix: true,
    // One wrong letter in five.
    fuzzy: (word) => word.length > 4 ? 0.2 : false,
  };

  let index;
  let loading;
  let chosen = -1;
  /** The words whose results are shown. */
  let shown;

  // Scripts, and not data that is fetched: they also work in a folder that no server serves.
  function script(source) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = source;
      element.onload = resolve;
      element.onerror = () => reject(new Error(source));
      document.head.append(element);
    });
  }

  function load() {
    loading ??= Promise.all([script(box.dataset.library), script(box.dataset.index)]).then(() => {
      index = MiniSearch.loadJS(siteIndex.index, { fields: FIELDS });
    });
    return loading;
  }

  function resultsOf(words) {
    const strict = index.search(words, { ...OPTIONS, combineWith: "AND" });
    const all = strict.length > 0 ? strict : index.search(words, OPTIONS);
    const counts = new Map();
    return all.filter(({ id }) => {
      const [page] = siteIndex.sections[id];
      const count = (counts.get(page) ?? 0) + 1;
      counts.set(page, count);
      return count <= MOST_OF_A_PAGE;
    });
  }

  function line(className, text) {
    const element = document.createElement("span");
    element.className = className;
    element.textContent = text;
    return element;
  }

  /** One result: a link that looks like a choice, so that it can also be opened in another window. */
  function option({ id }, place) {
    const [page, fragment, heading, excerpt] = siteIndex.sections[id];
    const [address, title] = siteIndex.pages[page];
    const element = document.createElement("a");
    element.id = `result-${place}`;
    element.role = "option";
    element.tabIndex = -1;
    element.setAttribute("aria-selected", "false");
    element.href = box.dataset.top + address + (fragment === "" ? "" : `#${fragment}`);
    element.append(line("where", heading === "" ? title : `${title} › ${heading}`));
    if (excerpt !== "") element.append(line("excerpt", excerpt));
    return element;
  }

  function show(results) {
    const first = results.slice(0, MOST_RESULTS);
    list.replaceChildren(...first.map(option));
    list.scrollTop = 0;
    choose(-1);
    open(true);
    found.textContent = results.length === 0
      ? "Nothing found"
      : `${first.length} of ${results.length} results, by the arrow keys`;
    if (results.length === 0) {
      const none = line("none", "Nothing found");
      none.role = "option";
      none.ariaDisabled = "true";
      list.append(none);
    }
  }

  function open(is) {
    list.hidden = !is;
    input.setAttribute("aria-expanded", String(is));
    if (!is) choose(-1);
  }

  function links() {
    return [...list.querySelectorAll("a")];
  }

  function choose(place) {
    const all = links();
    all[chosen]?.setAttribute("aria-selected", "false");
    chosen = place;
    const link = all[place];
    if (link === undefined) return input.removeAttribute("aria-activedescendant");
    link.setAttribute("aria-selected", "true");
    link.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", link.id);
  }

  async function search() {
    const words = input.value.trim();
    if (words.length < 2) {
      found.textContent = "";
      return open(false);
    }
    try {
      await load();
    } catch {
      loading = undefined;
      found.textContent = "The search could not be loaded";
      return;
    }
    // More may have been typed meanwhile.
    if (words !== input.value.trim()) return;
    show(resultsOf(words));
    shown = words;
  }

  input.addEventListener("focus", () => load().catch(() => loading = undefined), { once: true });
  input.addEventListener("input", search);
  input.addEventListener("focus", () => {
    if (list.hidden && input.value.trim() !== "") search();
  });
  input.addEventListener("keydown", async (event) => {
    const count = links().length;
    if (event.key === "Escape") {
      if (list.hidden) input.blur();
      else {
        event.preventDefault();
        event.stopPropagation();
        open(false);
      }
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (list.hidden || shown !== input.value.trim()) await search();
      links()[Math.max(chosen, 0)]?.click();
    } else if (!list.hidden && count > 0 && /^Arrow(?:Down|Up)$/.test(event.key)) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose(chosen < 0 && step < 0 ? count - 1 : (chosen + step + count) % count);
    }
  });
  // The link is followed before the list goes.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", () => open(false));
  input.addEventListener("blur", () => open(false));

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(?:INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)) return;
    event.preventDefault();
    input.focus();
    input.select();
  });

  box.hidden = false;
})();
