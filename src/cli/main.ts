#!/usr/bin/env node
import { checkModel, loadPolicy } from "../train/load-policy.js";
import { runCli } from "./program.js";

const { stdout, stderr } = process;
process.exitCode = await runCli(process.argv.slice(2), { stdout, stderr, loadPolicy, checkModel });
