import { fencingMutations } from './fencing.ts'
import type { Mutation } from './mutation.ts'
import { recordMutations } from './record.ts'

export { loadPlanted } from './load-planted.ts'
export { plant, type Mutation } from './mutation.ts'

/** Every planted bug. Each must be found; a test holds that each can still be planted. */
export const mutations: readonly Mutation[] = [...recordMutations, ...fencingMutations]
