import { DockerSetDriver } from './drivers/set/index.ts' // breaks: adapters
import type { SetDriver } from './drivers/set/index.ts'
export const agent = (): SetDriver => new DockerSetDriver()
