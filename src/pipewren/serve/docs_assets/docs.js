// Asks for a token, fetches the OpenAPI document that it may see, and shows it by Swagger UI.
"use strict";

const form = document.getElementById("ask");
const field = document.getElementById("token");
const status = document.getElementById("status");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = field.value.trim();
  tell("Loading...");
  try {
    const answer = await fetch("v0/pipes/openapi.json", {
      headers: { Authorization: `Bearer ${token}` },
      cache: "no-store",
      credentials: "omit",
    });
    const document_ = await answer.json();
    if (!answer.ok) {
      tell(document_.error, true);
      return;
    }
    show(document_, token);
  } catch (error) {
    tell(`The server cannot be reached: ${error.message}`, true);
  }
});

function show(openapi, token) {
  // Calls carry the token in the header only, and go to the server of this page.
  delete openapi.components.securitySchemes.token;
  openapi.security = [{ bearer: [] }];
  openapi.servers = [{ url: new URL("v0", location.href).href }];
  // All errors have one shape: a line for each is enough here, and a description once.
  for (const [name, response] of Object.entries(openapi.components.responses)) {
    openapi.components.responses[name] = { description: response.description };
  }
  delete openapi.tags;
  const ui = SwaggerUIBundle({
    spec: openapi,
    dom_id: "#endpoints",
    deepLinking: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: -1,
    validatorUrl: null,
    onComplete: () => ui.preauthorizeApiKey("bearer", token),
  });
  const count = Object.keys(openapi.paths).length;
  document.title = openapi.info.title;
  tell(count === 1 ? "The token reads 1 endpoint." : `The token reads ${count} endpoints.`);
}

function tell(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}
