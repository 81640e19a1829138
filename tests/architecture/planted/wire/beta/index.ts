export { beta } from './beta.ts'
