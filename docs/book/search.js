// The search lists each page once, with its best place: a heading that matches, or else its top.
const searched = Search._performSearch;
Search._performSearch = (...asked) => {
  const pages = new Map();
  for (const hit of searched(...asked).reverse()) { // the best stands last
    const [page, , anchor] = hit;
    if (!pages.has(page) || (anchor && !pages.get(page)[2])) pages.set(page, hit);
  }
  return [...pages.values()].reverse();
};
