// Makes what an element holds the same as new markup, by changing only what differs: who has the focus in it keeps it,
// what is pressed stays pressed, a table that was scrolled stays scrolled. What leads elsewhere is another element: no
// link changes its target under somebody's finger, but one that has an id: the way on in a list is the same way wherever
// the list has moved to.
"use strict";

const morph = (() => {
  // What an element is known by among its siblings; "" where only its place tells.
  const keyOf = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    const own = node.id || node.getAttribute("href") || node.getAttribute("aria-labelledby") || node.getAttribute("aria-label");
    if (own) return own;
    if (node.matches("tr")) return node.querySelector("a[href]")?.getAttribute("href") ?? "";
    if (node.matches("section")) return node.querySelector("h2")?.textContent ?? "";
    return "";
  };

  const named = (nodes) => [...nodes].map((node) => ({ node, name: `${node.nodeName} ${keyOf(node)}` }));

  const move = (parent, node, before) => {
    if (parent.moveBefore) parent.moveBefore(node, before); // keeps the focus
    else parent.insertBefore(node, before);
  };

  const children = (old, fresh) => {
    const left = named(old.childNodes);
    const pairs = named(fresh.childNodes).map(({ node, name }) => {
      const at = left.findIndex((one) => one.name === name);
      return [node, at < 0 ? null : left.splice(at, 1)[0].node];
    });
    left.forEach(({ node }) => node.remove());
    let place = old.firstChild;
    for (const [node, same] of pairs) {
      if (same === null) {
        old.insertBefore(node, place);
      } else {
        if (same === place) place = place.nextSibling;
        else move(old, same, place);
        become(same, node);
      }
    }
  };

  const become = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    children(old, fresh);
  };

  return (old, markup) => {
    const template = document.createElement("template");
    template.innerHTML = markup;
    const focused = document.activeElement;
    children(old, template.content);
    if (document.activeElement !== focused && old.contains(focused)) focused.focus({ preventScroll: true });
  };
})();
