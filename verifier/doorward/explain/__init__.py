"""Why a token was admitted or refused, check by check."""
