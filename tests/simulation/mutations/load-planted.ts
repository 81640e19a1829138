import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { plant, type Mutation } from './mutation.ts'

const top = fileURLToPath(new URL('../../../', import.meta.url))

/** From now on this process loads the mutation's files with the bug in them. The files themselves stay as they are. */
export function loadPlanted(mutation: Mutation): void {
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context)
      const edits = url.startsWith('file:')
        ? mutation.edits.filter(({ file }) => fileURLToPath(url) === `${top}${file}`)
        : []
      if (edits.length === 0) return loaded
      if (loaded.source === undefined || loaded.source === null)
        throw new Error(`${url} was loaded without its source`)
      const text =
        typeof loaded.source === 'string'
          ? loaded.source
          : Buffer.from(loaded.source as Uint8Array).toString()
      return { ...loaded, source: plant(edits, text) }
    },
  })
}
