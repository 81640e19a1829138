/**
 * Loaded into the servers of a bench (`--import`): how late their event loops are, by Node's own measure and at its own
 * default of a sample each 10 ms, whatever the server itself samples. The file that the query names holds the numbers since
 * the start of the process, written anew each quarter of a second.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const SAMPLE_MS = 10
const WRITE_MS = 250

const file = new URL(import.meta.url).searchParams.get('file') ?? ''
const samples = monitorEventLoopDelay({ resolution: SAMPLE_MS })
samples.enable()

/** A sample is the time between two timers; what is due of it is no delay. */
const delayMs = (sampleNs: number): number => Math.max(0, sampleNs / 1e6 - SAMPLE_MS)

setInterval(() => {
  const text = JSON.stringify({
    p99Ms: delayMs(samples.percentile(99)),
    maxMs: delayMs(samples.max),
  })
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}, WRITE_MS).unref()
