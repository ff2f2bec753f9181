// preact and htm, bound: `html` makes elements of text; data is always a text node, never markup.
import { Component, createRef, h, render } from "../vendor/preact.mjs";
import htm from "../vendor/htm.mjs";

export const html = htm.bind(h);
export { Component, createRef, render };
