import { compute } from '../domains/compute/index.ts' // breaks: part-order
import { region } from '../region.ts' // breaks: part-order
export const world = () => compute + region
