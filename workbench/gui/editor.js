// A text area for a query. What is typed is sent to the server, which answers with the words that the one
// before the caret may become; Tab or a click takes one, Ctrl+Enter runs the query.

const WAIT = 120; // milliseconds without a key before the text is sent
const WORD = /[\p{L}_][\p{L}\p{N}_.]*$/u;
const editors = new WeakMap(); // this function is called again whenever the server's answer changes

// Where the word before the caret begins, as workbench.datasets.assist sees it: an open quote belongs to it,
// the name of a table before a point does not.
function begin(before) {
  if ((before.split('"').length - 1) % 2) return before.lastIndexOf('"');
  const found = WORD.exec(before);
  return found ? found.index + found[0].lastIndexOf(".") + 1 : before.length;
}

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  const area = parentElement.querySelector("textarea");
  const words = parentElement.querySelector("#words");
  let editor = editors.get(area);
  if (!editor) {
    editor = { revision: null, timer: null, chosen: 0, shown: [] };
    editors.set(area, editor);
  }

  const send = () => {
    clearTimeout(editor.timer);
    editor.timer = null;
    const draft = { text: area.value, position: area.selectionStart };
    const key = JSON.stringify(draft);
    if (key !== editor.sent) {
      editor.sent = key;
      setStateValue("draft", draft);
    }
  };
  const later = () => {
    clearTimeout(editor.timer);
    editor.timer = setTimeout(send, WAIT);
  };

  const clear = () => {
    editor.shown = [];
    words.replaceChildren();
  };

  const take = (word) => {
    const end = area.selectionStart;
    const start = begin(area.value.slice(0, end));
    area.setRangeText(word, start, end, "end");
    area.focus();
    clear();
    later();
  };

  const show = () => {
    words.replaceChildren(
      ...editor.shown.map((word, place) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = word;
        button.setAttribute("role", "option");
        button.setAttribute("aria-selected", String(place === editor.chosen));
        button.onmousedown = (event) => event.preventDefault(); // the caret stays in the text
        button.onclick = () => take(word);
        return button;
      })
    );
    if (editor.shown.length) {
      const hint = document.createElement("span");
      hint.textContent = "Tab takes the first";
      words.append(hint);
    }
  };

  if (data.revision !== editor.revision) {
    // The server has put another text here: an earlier query, or the one of a link.
    editor.revision = data.revision;
    area.value = data.text;
    editor.sent = null;
    clear();
  } else if (data.of === area.value && data.at === area.selectionStart) {
    editor.shown = data.words;
    editor.chosen = 0;
    show();
  }

  area.oninput = () => {
    clear();
    later();
  };
  area.onblur = send;
  area.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      clearTimeout(editor.timer);
      clear();
      setTriggerValue("run", area.value);
    } else if (event.key === "Tab" && !event.shiftKey && editor.shown.length) {
      event.preventDefault();
      take(editor.shown[editor.chosen]);
    } else if (event.key === "Escape") {
      clear();
    }
  };
  area.onkeyup = (event) => {
    if (event.key === " " && event.ctrlKey) send();
  };
}
