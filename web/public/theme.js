// Runs before the first paint, so that a dark screen never flashes white.
(function () {
  var theme = 'system';
  try {
    theme = localStorage.getItem('fluoro.theme') || 'system';
  } catch {
    // Storage may be forbidden; the system theme is the answer then.
  }
  var dark = theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.classList.toggle('fl-dark', dark);
})();
