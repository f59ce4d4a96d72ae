// Every part by itself: what fails in one leaves the others as they are.

function start() {
  const kinds = { table: Table, curves: Curves, map: PointMap };
  themes();
  const parts = JSON.parse(document.getElementById("data").textContent);
  for (const [id, data] of Object.entries(parts)) {
    try {
      new kinds[data.kind](document.getElementById(id), data);
    } catch (error) {
      console.error(id, error);
    }
  }
}

start();
