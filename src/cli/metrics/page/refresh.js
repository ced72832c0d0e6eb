const stale = document.getElementById("stale");
const refresh = async () => {
  const isSelecting = !document.getSelection().isCollapsed;
  if (!document.hidden && !isSelecting) {
    try {
      const response = await fetch(location.href, { cache: "no-store" });
      if (!response.ok) throw new Error(response.statusText);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = page.title;
      document.querySelector("main").replaceWith(page.querySelector("main"));
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
  }
  setTimeout(refresh, 2000);
};
setTimeout(refresh, 2000);
