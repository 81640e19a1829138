import { compute } from '../compute/index.ts' // breaks: domain-order
import { insertSet } from '../compute/store.ts' // breaks: domain-face, domain-order
import { world } from '../../world/world.ts' // breaks: part-order
export const network = () => compute + insertSet + world
