import { openStore } from './adapters/file-store.ts' // breaks: adapters
import type { openStore as Opener } from './adapters/file-store.ts'
import { agent } from '@nubo/host-agent' // breaks: direction
import { insertSet } from './domains/compute/store.ts' // breaks: domain-face
export const region: typeof Opener = () => openStore(agent + insertSet)
