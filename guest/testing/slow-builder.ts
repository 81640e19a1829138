/** A process that begins to make an entry and does not end by itself: node slow-builder.ts FOLDER KEY. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cached, type CacheKey } from '../cache.ts'

const LIFE_MS = 120_000

const [folder = '', key = ''] = process.argv.slice(2)
// proof: the test wrote it
await cached(folder, JSON.parse(key) as CacheKey, async (into) => {
  await writeFile(join(into, 'half'), 'of it')
  await sleep(LIFE_MS)
})
