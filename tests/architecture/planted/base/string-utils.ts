// breaks: name
export interface IName { readonly text: string } // breaks: name
export class NameManager {} // breaks: name
