// PouchDB's own server, on LevelDB: `node couch.mjs <folder>`.

import express from "express";
import expressPouchDB from "express-pouchdb";
import PouchDB from "pouchdb-node";

import { listen } from "./listen.mjs";

const folder = process.argv[2];
const app = express();
app.use(
  expressPouchDB(PouchDB.defaults({ prefix: `${folder}/` }), {
    mode: "minimumForPouchDB",
    inMemoryConfig: true,
    logPath: `${folder}/log.txt`,
  }),
);
listen(app);
