"use strict";
for (const figure of document.querySelectorAll(".compare")) {
  const stage = figure.querySelector(".stage");
  const range = stage.querySelector("input");
  const choices = [...figure.querySelectorAll("button[data-left]")];
  const enlarge = figure.querySelector(".enlarge");

  const divide = () => {
    stage.style.setProperty("--at", range.value + "%");
    range.setAttribute("aria-valuetext", Math.round(range.value) + " % " + figure.dataset.left.toUpperCase());
  };
  const moveTo = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = 100 * (event.clientX - box.left) / box.width;
    divide();
  };
  const choose = (button) => {
    figure.dataset.left = button.dataset.left;
    figure.dataset.right = button.dataset.right;
    figure.querySelector(".tag.left").textContent = button.dataset.left.toUpperCase();
    figure.querySelector(".tag.right").textContent = button.dataset.right.toUpperCase();
    for (const other of choices) other.setAttribute("aria-pressed", String(other === button));
    divide();
  };

  // The line follows the pointer exactly; a range's own thumb would lag behind by half its width.
  range.addEventListener("pointerdown", (event) => {
    range.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") event.preventDefault();
    range.focus({ preventScroll: true, focusVisible: false });
    moveTo(event);
  });
  range.addEventListener("pointermove", (event) => {
    if (range.hasPointerCapture(event.pointerId)) moveTo(event);
  });
  range.addEventListener("input", divide);
  range.addEventListener("keydown", (event) => {
    const button = choices[Number(event.key) - 1];
    if (button) choose(button);
  });
  for (const button of choices) button.addEventListener("click", () => choose(button));
  enlarge.addEventListener("click", () => {
    const large = figure.classList.toggle("large");
    enlarge.setAttribute("aria-pressed", String(large));
    enlarge.textContent = large ? "smaller" : "larger";
  });
  divide();
}
