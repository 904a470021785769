// What pages do in the browser beside htmx: nothing here decides anything.
"use strict";

(() => {
  const live = () => document.getElementById("live");
  const part = () => document.getElementById("part");
  const state = document.getElementById("live-state");
  const AWAY = 30000; // ms that a page nobody looks at keeps its stream: browsers have six connections to a host
  let late = null;
  let kept = null; // what was sent last, and is not shown yet

  const say = (kind, text) => {
    if (!state) return;
    state.hidden = false;
    state.className = `live-state ${kind}`;
    state.textContent = text;
  };

  // While somebody has chosen rows, types, or reads an opened detail, the part stays as it is.
  const held = () => {
    const there = part();
    if (!there) return false;
    const typing = there.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    const selection = document.getSelection();
    const marked = selection && !selection.isCollapsed && there.contains(selection.anchorNode);
    return typing || marked || there.querySelector("input[type=checkbox]:checked, details[open]") !== null;
  };

  document.addEventListener("htmx:sseOpen", () => say("good", "live"));
  document.addEventListener("htmx:sseError", () => say("bad", "reconnecting"));
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.detail.type === "trouble" && event.detail.data) say("bad", "stands still");
    if (event.detail.type !== "part") return;
    if (held()) {
      say("note", "held: in use");
      kept = event.detail.data;
      event.preventDefault();
    } else {
      say("good", "live");
      kept = null;
      keepScroll();
    }
  });

  // What came while the part was in use is shown once it is not.
  setInterval(() => {
    if (kept === null || held()) return;
    const data = kept;
    kept = null;
    say("good", "live");
    keepScroll();
    htmx.swap("#part", data, { swapStyle: "innerHTML" });
  }, 500);
  document.addEventListener("htmx:sseClose", (event) => {
    if (event.detail.type === "message" && event.target === live()) location.reload(); // the session is over: the login page says so
  });

  // What a run says is told once: where the connection was lost, the page reads anew what was said meanwhile.
  document.addEventListener("htmx:sseOpen", (event) => {
    if (!event.target.matches(".output")) return;
    if (event.target.dataset.opened) location.reload();
    event.target.dataset.opened = "yes";
  });

  // A table that was scrolled sideways stays where it was.
  const keepScroll = () => {
    const places = [...part().querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    requestAnimationFrame(() => {
      part().querySelectorAll(".scroll").forEach((box, n) => {
        if (places[n]) [box.scrollLeft, box.scrollTop] = places[n];
      });
    });
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(late);
    const there = live();
    if (!there) return;
    if (document.hidden) {
      late = setTimeout(() => {
        htmx.trigger(there, "htmx:beforeCleanupElement");
        there.dataset.stopped = "yes";
        say("note", "paused");
      }, AWAY);
    } else if (there.dataset.stopped) {
      location.reload();
    }
  });

  // On a phone the sections are a row that scrolls: the one that is open is seen.
  const here = document.querySelector(".sections [aria-current]");
  if (here) here.closest("nav").scrollLeft = here.offsetLeft - 80;

  // What is confirmed is sent once; the server sees to it as well.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.once")) return;
    const button = event.target.querySelector("button");
    setTimeout(() => { button.disabled = true; }, 0);
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form.once button").forEach((button) => { button.disabled = false; });
  });

  document.addEventListener("click", async (event) => {
    if (!event.target.matches("button[data-copy]")) return;
    const there = document.getElementById(event.target.dataset.copy);
    try {
      await navigator.clipboard.writeText(there.textContent);
      event.target.textContent = "Copied";
    } catch {
      document.getSelection().selectAllChildren(there); // not allowed here: it is marked, to be copied by hand
    }
  });

  // A checkbox that chooses all of its form's rows.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("input[data-all]")) return;
    const name = event.target.dataset.all;
    event.target.closest("form, table").querySelectorAll(`input[type=checkbox][name="${name}"]`)
      .forEach((box) => { box.checked = event.target.checked; });
  });
})();
