import './texts.ts' // breaks: side-effect
import { gone } from './gone.ts' // breaks: unresolved
import { alias } from '#alias' // breaks: unresolved
import { join } from 'path' // breaks: unresolved
import { other } from 'not-a-dependency' // breaks: unresolved
import { self } from '@nubo/base' // breaks: unresolved
import { word } from './words.test.ts' // breaks: test-code
import { api } from '../contracts/index.ts' // breaks: direction, package-face
export const late = () => import(gone + alias + join + other + self + word + api) // breaks: unresolved
export { nowMs } from './texts.ts' // breaks: barrel
