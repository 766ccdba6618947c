"""A script of the page that keeps the stream of results open while an event waits for its result.

Gradio sends the results of all events through one stream, and closes it when no event waits. Its server can decide
that just before the next event joins, and a busy browser can read the answer to that event before it reads the close.
Gradio's script then opens no new stream, and the event waits for ever: often the drawing of the first mask.
"""

SCRIPT = """
(() => {
  const send = window.fetch;
  const waiting = new Set();  // events without a result
  const early = new Set();  // events with a result, whose answer to joining was not read yet

  const joined = ({event_id}) => { if (event_id && !early.delete(event_id)) waiting.add(event_id); };
  const completed = (id) => { if (!waiting.delete(id)) early.add(id); };
  const read = (message) => { try { return JSON.parse(message.replace(/^data: /, "")); } catch { return {}; } };

  // Copy the stream message by message. Leave out a close that comes while an event waits, and connect again.
  async function copy(request, body, out) {
    const encoder = new TextEncoder();
    for (let again = true; again; ) {
      again = false;
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "", part; !(part = await reader.read()).done; ) {
        const messages = (text + part.value).split("\\n\\n");
        text = messages.pop();
        for (const message of messages) {
          const {msg, event_id} = read(message);
          if (msg === "process_completed") completed(event_id);
          if (msg === "close_stream" && waiting.size) again = true;
          else out.enqueue(encoder.encode(message + "\\n\\n"));
        }
      }
      if (again) body = (await send(request)).body;
    }
    out.close();
  }

  window.fetch = async (request, options) => {
    const answer = await send(request, options);
    const path = new URL(request.url ?? request, window.location).pathname;
    if (answer.ok && path.endsWith("/queue/join")) joined(await answer.clone().json());
    if (!answer.ok || !path.endsWith("/queue/data")) return answer;
    const start = (out) => { copy(request, answer.body, out).catch((error) => out.error(error)); };
    return new Response(new ReadableStream({start}), answer);
  };
})();
"""
HEAD = f"<script>{SCRIPT}</script>"
