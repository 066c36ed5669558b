// Copies a field's text at a click. Without this script the button stays hidden, and the field can be copied by hand.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const field = document.getElementById(button.dataset.copies);
  const said = document.getElementById(button.dataset.says);
  button.hidden = false;
  field.select();
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      // Browsers keep the clipboard from pages without HTTPS.
      said.textContent = document.execCommand("copy") ? "Copied." : "Selected. Copy it with your keyboard.";
    }
  });
}
