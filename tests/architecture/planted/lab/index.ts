export { lab } from './lab.ts'
