// Runs before the page is shown: the colours that its reader has chosen, if not those of the system.
"use strict";
(() => {
  const page = document.documentElement;
  page.classList.add("scripted");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") page.dataset.theme = theme;
  } catch {
    // The browser stores nothing for this site.
  }
})();
