@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_number_outside_its_limits_is_refused_when_it_is_given(seed):
    with pytest.raises(UsageError, match=f"seed is {seed}"):
        TrainingConfig(seed=seed)
