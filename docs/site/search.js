// "--overlap" finds the option: the search would take a leading dash for "without this word".
document.addEventListener("input", (event) => {
  const field = event.target
  if (field.matches(".md-search__input")) field.value = field.value.replace(/(^|\s)-+/g, "$1")
}, true)
