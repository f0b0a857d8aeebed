// What every living part of a page shares: elements, and numbers as text as the rest of memlab writes them.
// It stands before the script that uses it, in one module: nothing here imports or is imported by name.

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

/** Make an element with a class and a text. */
export const node = (name, cls, text) => {
  const made = document.createElement(name);
  if (cls) made.className = cls;
  if (text !== undefined) made.textContent = text;
  return made;
};

/** Write a count with commas. */
export const formatCount = (count) => Math.round(count).toLocaleString("en-US");

/** Write a size as the rest of memlab does: three digits, ties to the even one. */
export function formatBytes(count) {
  if (Math.abs(count) < 1024) return `${formatCount(count)} B`;
  let value = count;
  let unit = "";
  for (unit of UNITS) {
    value /= 1024;
    if (Math.abs(value) < 1024) break;
  }
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  const scaled = value * 10 ** digits;
  const tie = Math.abs(scaled % 1) === 0.5;
  const text = tie ? (2 * Math.round(scaled / 2) / 10 ** digits).toFixed(digits) : value.toFixed(digits);
  return `${text} ${unit}`;
}

/**
 * List where a page's data is drawn: each part of a report with its own, or the whole page.
 * Gives pairs of an element to look in and the data that its charts show.
 */
export function scopes(root) {
  const data = JSON.parse(root.querySelector("#memlab-data").textContent);
  const parts = Object.entries(data.parts ?? {}).map(([id, held]) => [document.getElementById(id), held]);
  return [[root, data], ...parts];
}
