"use strict";
// The bar says where one is, and a link into a folded part unfolds it.
(() => {
  const links = [...document.querySelectorAll("nav.bar a")];
  const parts = links.map((link) => document.getElementById(link.hash.slice(1)));

  const where = () => {
    const line = document.querySelector("nav.bar").getBoundingClientRect().bottom + 40;
    const here = parts.findLastIndex((part) => part.getBoundingClientRect().top <= line);
    links.forEach((link, i) => {
      if (i === here) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    });
  };
  if (links.length) {
    let asked = false;
    addEventListener("scroll", () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; where(); });
    }, { passive: true });
    where();
  }

  const unfold = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  // What is folded is printed too, but for how to repeat it.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll(".fold:not(.repeat):not([open])")) { fold.open = true; opened.push(fold); }
  });
  addEventListener("afterprint", () => { for (const fold of opened.splice(0)) fold.open = false; });
})();
