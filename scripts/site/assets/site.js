// What makes a page handier. Without it, everything can be read all the same.
"use strict";
(() => {
  const page = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // Colours: as the system, light, dark.
  const theme = byId("theme");
  const THEMES = ["system", "light", "dark"];
  const nameTheme = () => {
    const label = `Colours: ${page.dataset.theme ?? "system"}`;
    theme.setAttribute("aria-label", label);
    theme.title = label;
  };
  theme.addEventListener("click", () => {
    const now = THEMES.indexOf(page.dataset.theme ?? "system");
    const next = THEMES[(now + 1) % THEMES.length];
    if (next === "system") delete page.dataset.theme;
    else page.dataset.theme = next;
    try {
      if (next === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", next);
    } catch {
      // Then it holds for this page.
    }
    nameTheme();
  });
  nameTheme();
  theme.hidden = false;

  // The page is in view in a long navigation.
  const navigation = byId("navigation");
  const current = navigation.querySelector('[aria-current="page"]');
  const showCurrent = () => {
    if (current === null || current.offsetTop < navigation.clientHeight) return;
    navigation.scrollTop = current.offsetTop - navigation.clientHeight / 2;
  };
  showCurrent();

  // The navigation on a narrow screen.
  const menu = byId("menu");
  const openMenu = (open) => {
    menu.setAttribute("aria-expanded", String(open));
    page.classList.toggle("menu-open", open);
    showCurrent();
  };
  menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
  menu.hidden = false;

  // One Escape closes what is open on top of the page, and gives the focus back.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const versions = document.querySelector(".versions[open]");
    if (versions !== null) {
      versions.open = false;
      versions.querySelector("summary").focus();
    } else if (page.classList.contains("menu-open")) {
      openMenu(false);
      menu.focus();
    }
  });
  document.addEventListener("click", ({ target }) => {
    for (const versions of document.querySelectorAll(".versions[open]")) {
      if (!versions.contains(target)) versions.open = false;
    }
  });

  // "On this page" is open where it is beside the text.
  const contents = document.querySelector(".contents details");
  const wide = matchMedia("(min-width: 75rem)");
  const openContents = () => {
    if (contents !== null) contents.open = wide.matches;
  };
  openContents();
  wide.addEventListener("change", openContents);

  // The part that is read.
  const entries = new Map();
  for (const link of document.querySelectorAll(".contents a")) {
    entries.set(decodeURIComponent(link.hash.slice(1)), link);
  }
  const headings = [...entries.keys()].map(byId).filter((heading) => heading !== null);
  let marked;
  const mark = () => {
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < 120);
    const link = entries.get(passed.at(-1)?.id);
    if (link === marked) return;
    marked?.removeAttribute("aria-current");
    link?.setAttribute("aria-current", "location");
    marked = link;
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mark();
    });
  }, { passive: true });
  mark();

  // What scrolls sideways is reached with the Tab key; the rest is passed over.
  const scrollers = document.querySelectorAll("main pre, main .table");
  const measure = () => {
    for (const element of scrollers) {
      if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
      else element.removeAttribute("tabindex");
    }
  };
  measure();
  addEventListener("resize", measure);

  // Code is copied without selecting it.
  if (navigator.clipboard !== undefined) {
    for (const block of document.querySelectorAll("main .code")) {
      const copy = document.createElement("button");
      copy.type = "button";
      copy.className = "copy";
      copy.textContent = "Copy";
      copy.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(block.querySelector("code").textContent);
          copy.textContent = "Copied";
        } catch {
          copy.textContent = "Not allowed";
        }
        setTimeout(() => copy.textContent = "Copy", 2_000);
      });
      block.append(copy);
    }
  }
})();
