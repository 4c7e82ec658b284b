// A web server that handles SIGTERM as Node's documentation says: no new requests, the running ones are answered.
const fs = require("fs");
const http = require("http");

const server = http.createServer((request, response) => {
  console.log("request started");
  const work = () => {
    // Still in flight when the stop has been asked for, however slow the machine is.
    if (!fs.existsSync(process.env.ASKED)) return setTimeout(work, 20);
    setTimeout(answer, 800);
  };
  const answer = () => {
    console.log("request answered");
    response.setHeader("Connection", "close");
    response.end(`answered by ${process.pid}\n`);
  };
  work();
});

let told = 0;
process.on("SIGTERM", () => {
  told += 1;
  console.log(`node told ${told}`);
  server.close(() => {
    console.log("node clean");
    process.exit(0);
  });
});

server.listen(process.env.SOCKET, () => console.log("node ready"));
