// What pages do in the browser beside htmx: nothing here decides anything.
"use strict";

(() => {
  const live = () => document.getElementById("live");
  const part = () => document.getElementById("part");
  const state = document.getElementById("live-state");
  const AWAY = 30000; // ms that a page nobody looks at keeps its stream: browsers have six connections to a host
  const PRESS = 5000; // ms that a press lasts at most: one whose end nobody tells holds the part no longer
  const CLICK = 300; // ms from a finger's lifting to its click
  let late = null;
  let kept = null; // what was sent last, and is not shown yet
  let pressed = 0; // until when something in the part counts as pressed

  const say = (kind, text) => {
    if (!state) return;
    state.hidden = false;
    state.className = `live-state ${kind}`;
    state.textContent = text;
  };

  // While somebody has chosen rows, types, presses a button, or reads an opened detail, the part stays as it is. The focus
  // holds nothing: it stays where it is (morph.js).
  const held = () => {
    const there = part();
    if (!there) return false;
    const typing = there.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    const selection = document.getSelection();
    const marked = selection && !selection.isCollapsed && there.contains(selection.anchorNode);
    const chosen = there.querySelector("input[type=checkbox]:checked, details[open]") !== null;
    return typing || marked || chosen || performance.now() < pressed;
  };

  document.addEventListener("pointerdown", (event) => {
    if (part()?.contains(event.target)) pressed = performance.now() + PRESS;
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => { pressed = Math.min(pressed, performance.now() + CLICK); });
  }

  const show = (markup) => {
    kept = null;
    say("good", "live");
    morph(part(), markup);
  };

  document.addEventListener("htmx:sseOpen", () => say("good", "live"));
  document.addEventListener("htmx:sseError", () => say("bad", "reconnecting"));
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.detail.type === "trouble" && event.detail.data) {
      kept = null; // to show it now would say that the page is live
      say("bad", "stands still");
    }
    if (event.detail.type !== "part") return;
    event.preventDefault(); // htmx would replace the whole of it
    if (held()) {
      say("note", "held: in use");
      kept = event.detail.data;
    } else {
      show(event.detail.data);
    }
  });

  // What came while the part was in use is shown once it is not.
  setInterval(() => {
    if (kept !== null && !held()) show(kept);
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
