// The reader's choice of colours: light, dark, or as the system has it.  Runs before the page is drawn.
(function () {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let choice = "auto";
  try { choice = localStorage.getItem("uspnb-theme") || "auto"; } catch (refused) { /* storage is switched off */ }

  function apply() {
    const theme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    root.dataset.theme = theme;
    root.style.colorScheme = theme;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `uspnb_theme=${theme}; path=/; SameSite=Strict; max-age=31536000${secure}`;
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    window.dispatchEvent(new Event("uspnb-theme"));
  }

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.addEventListener("click", () => {
        choice = button.dataset.themeChoice;
        try { localStorage.setItem("uspnb-theme", choice); } catch (refused) { /* it lasts for this page, then */ }
        apply();
      });
    apply();
    // a page whose server has gone would look alive and do nothing
    const banner = document.getElementById("lost");
    (function watch() {
      const found = window.Bokeh && Bokeh.documents && Bokeh.documents[0];
      if (!found) return void setTimeout(watch, 200);
      found.on_event("connection_lost", () => { if (banner) banner.hidden = false; });
    })();
  });
})();
