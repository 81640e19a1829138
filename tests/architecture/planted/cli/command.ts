import { query } from '@nubo/runtime' // breaks: direction
import { gone } from '@nubo/runtime/gone' // breaks: unresolved
export type Query = typeof query | typeof gone
