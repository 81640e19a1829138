import manifest from '../package.json' with { type: 'json' }

/** The version of Nubo that this checkout is. */
export const version: string = manifest.version
