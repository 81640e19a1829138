import { start } from '@nubo/control-plane' // breaks: direction
import { region } from '@nubo/control-plane/region' // breaks: unresolved
export const lab = () => start() + region
