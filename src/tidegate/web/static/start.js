"use strict";

const cell = (row, text, tag) => {
  const inner = document.createElement(tag);
  inner.textContent = text;
  row.insertCell().append(inner);
};

const show = (doc) => {
  document.getElementById("version").textContent = doc.info.version;
  const table = document.getElementById("requests");
  for (const [path, operations] of Object.entries(doc.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const row = table.insertRow();
      cell(row, method.toUpperCase(), "code");
      cell(row, path, "code");
      cell(row, operation.summary || "", "span");
    }
  }
};

fetch("../api-docs").then((reply) => reply.json()).then(show);
