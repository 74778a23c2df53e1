function ownPicture(user, context, callback) {
  // Whoever has uploaded a picture is shown with it.
  const uploaded = user.user_metadata && user.user_metadata.picture;
  if (uploaded) {
    user.picture = uploaded;
  }
  callback(null, user, context);
}
