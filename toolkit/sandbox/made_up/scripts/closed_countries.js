const CLOSED = new Set(['AQ', 'BV']);

exports.onExecutePostLogin = async (event, api) => {
  const country = event.request && event.request.geoip && event.request.geoip.countryCode;
  if (CLOSED.has(country)) {
    api.access.deny('This service is not available in your country.');
  }
};
