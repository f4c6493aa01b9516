// Keeps the parts of a page up to date that say so. Without it everything works; one reloads then.
"use strict";
(() => {
  const mode = document.body.dataset.live;
  if (mode && window.EventSource) keepUpToDate(mode);
  for (const area of document.querySelectorAll("textarea.code")) guardEdit(area);

  function keepUpToDate(mode) {
    const place = document.getElementById("live");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    place.append(button);
    place.hidden = false;
    let source = null, waiting = false, again = false;

    function start() {
      source = new EventSource("/ui/live?live=" + mode);
      source.addEventListener("changed", refresh);
      // The session is over: a form that is being filled in stays as it is.
      source.addEventListener("ended", stop);
      tell(true);
    }
    function stop() {
      if (source) source.close();
      source = null;
      tell(false);
    }
    function tell(on) {
      button.textContent = on ? "Live: pause" : "Paused: go on";
    }
    async function refresh() {
      if (document.hidden || !source) { again = true; return; }
      if (waiting) { again = true; return; }
      waiting = true;
      again = false;
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html", "Recant-By-Itself": "1" } });
        if (answer.redirected) { stop(); return; }
        if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch { /* the server is away: the event source comes back when it does */ }
      setTimeout(() => { waiting = false; if (again) refresh(); }, 1500);
    }
    button.addEventListener("click", () => (source ? stop() : (start(), refresh())));
    document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
    addEventListener("pagehide", stop);
    start();
  }

  // Puts the new parts in place of the old ones, unless somebody is at work in one.
  function replace(page) {
    for (const old of document.querySelectorAll("[data-live-part]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh || fresh.innerHTML === old.innerHTML) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      if (focused && focused.matches("input, select, textarea")) continue;
      if ([...old.querySelectorAll("input:not([type=hidden]), textarea")].some((one) => one.value !== one.defaultValue)) continue;
      const opened = [...old.querySelectorAll("details")].map((one) => one.open);
      const where = focused ? [...old.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused) : -1;
      old.replaceChildren(...[...fresh.childNodes].map((one) => document.importNode(one, true)));
      old.querySelectorAll("details").forEach((one, at) => { if (opened[at]) one.open = true; });
      const again = old.querySelectorAll("a, button, summary, [tabindex]")[where];
      if (again) again.focus({ preventScroll: true });
    }
  }

  // Asks before an edit is lost.
  function guardEdit(area) {
    let leaving = false;
    area.form.addEventListener("submit", () => { leaving = true; });
    addEventListener("beforeunload", (event) => {
      if (!leaving && area.value !== area.defaultValue) event.preventDefault();
    });
  }
})();
