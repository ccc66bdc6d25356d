"""What every lecture says about gradients through time, put to the test."""
