import all from '@cloudscape-design/components/i18n/messages/all.en';

/** Texts of the component library (labels of buttons without text, above all). */
export const messages = all;
