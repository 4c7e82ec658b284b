// A web server that handles SIGTERM as Node's documentation says: no new requests, the running ones are answered.
const http = require("http");

const server = http.createServer((request, response) => {
  console.log("request started");
  setTimeout(() => {
    console.log("request answered");
    response.setHeader("Connection", "close");
    response.end(`answered by ${process.pid}\n`);
  }, 1200);
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
