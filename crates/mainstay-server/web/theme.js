// Sets the chosen theme before anything is painted. Loaded as a plain script, so that it runs first.
try {
  const theme = localStorage.getItem("mainstay.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme then stands.
}
