import all from '@cloudscape-design/components/i18n/messages/all.en';

/** Texts of the component library, mostly labels of buttons without text. */
export const messages = all;
